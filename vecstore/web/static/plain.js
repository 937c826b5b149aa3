// The library's messages in the page's words: they advise commands, and here there are buttons.

/** @type {[RegExp, string][]} */
const PLAIN = [
  [/choose -k from (\d+) to (\d+)/, "choose a number from $1 to $2"],
  [/choose -k from (\d+) on, or `vecstore unpin` some/, "choose a number from $1 on, or unpin some"],
  [/; give -k N( or -k auto)?$/, "; name a number of clusters"],
  [/k is (\d+), but/, "$1 clusters were asked for, but"],
  [/; `vecstore failures[^`]*` says why/, "; the list of failures says why"],
  [/; (run )?`vecstore sync`( on)? its (folder|archive)/, "; add its $3 again"],
  [/; `vecstore add` (some|it) first/, "; add $1 first"],
  [/; make (some|one) with `vecstore cluster[^`]*`/, "; group the pictures first"],
  [/; move its images with `vecstore move`/, "; move its pictures instead"],
  [/; choose a lower --min-size, or another method/, "; choose fewer pictures of a cluster, or another method"],
  [/; give --bandwidth, such as 0.5/, "; choose another method"],
  [/, ask for fewer numbers a vector \(--pca 16\), or use --method kmeans/, ", or choose k-means"],
  [/by a rule that says which to keep; give one with --keep-by/, "where it was chosen which one to keep; choose that first"],
  [/; install it, or give --apply move:DIR/, "; choose something else to do"],
  [/; `pip install [^`]*` brings it/, ", which is not installed on the server's machine"],
  [/; (run )?`vecstore check[^`]*`.*$/, "; its store needs to be checked, on the server's machine"],
  [/ \(GET \/api\/jobs\)/, ""],
  [/; GET \/api\/jobs lists them/, ""],
];
// What comes last is the next step; where it is a command and no more, it is none here.
const COMMAND = /[;,:] [^;:]*(?:`(?:vecstore|pip) [^`]*`|(?:^|\s)--?[a-z][a-z-]*\b)[^;]*$/;

/** A message of the library, in the page's words. @param {string} text */
export function plain(text) {
  return PLAIN.reduce((said, [pattern, words]) => said.replace(pattern, words), text).replace(COMMAND, "");
}
