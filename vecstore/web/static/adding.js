// The form that adds pictures: a folder of the server's machine, which is looked at first, or files of this device.

import { api } from "./api.js";
import { openForm } from "./dialogs.js";
import { byId, count, number, within } from "./dom.js";
import { start } from "./jobs.js";
import { live } from "./live.js";
import { sendFiles, takesFiles } from "./uploads.js";

const offerFiles = () => (byId("add-files").hidden = !takesFiles());
live.addEventListener("polled", offerFiles); // the form may be opened before the server has said whether it takes some

/** Asks for a folder, looks what is in it, and adds it once that was seen. */
export function addPictures() {
  const dialog = openForm("add-dialog", async (form) => {
    const path = String(form.get("path"));
    if (seen.path !== path) {
      found.textContent = "Looking…";
      found.hidden = false;
      const { seen: files, new: fresh, is_complete: all } = await api.preview([path]).finally(() => (found.hidden = true));
      if (within(dialog, "#add-path", HTMLInputElement).value !== path) return false; // another one was typed meanwhile
      seen.path = path;
      found.hidden = false;
      const atLeast = all ? "" : "At least ";
      found.textContent = fresh
        ? `${atLeast}${count(fresh, "new file")} of ${number(files)} there${all ? "" : ", and still counting after some seconds"}. ${fresh > 20_000 || !all ? "Is it really this folder that you mean?" : ""}`
        : `${atLeast}${count(files, "file")} there, and none is new.`;
      submit.textContent = fresh ? `Add ${all ? number(fresh) : "them"}` : "Look through it again";
      return false;
    }
    await start({ kind: form.has("sync") ? "sync" : "add", paths: [path] });
    return true;
  });
  offerFiles();
  const files = within(dialog, "#files", HTMLInputElement);
  byId("choose-files").onclick = () => files.click();
  files.onchange = () => {
    sendFiles([...(files.files ?? [])]);
    files.value = "";
    dialog.close();
  };
  const found = within(dialog, "#add-found", HTMLElement);
  const submit = within(dialog, "[type=submit]", HTMLElement);
  const seen = { path: "" };
  const reset = () => ((found.hidden = true), (submit.textContent = "Look what is there"), (seen.path = ""));
  reset();
  within(dialog, "#add-path", HTMLInputElement).oninput = reset;
}
