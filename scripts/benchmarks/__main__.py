"""scripts/bench: the benchmarks, one command each."""

import typer

from scripts.benchmarks import (
    cluster,
    decoders,
    directions,
    drift,
    duplicates,
    engines,
    growth,
    index,
    ingest,
    precision,
    preprocessing,
    quality,
    restarts,
    search,
    serve,
)

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
app.command("cluster")(cluster.main)
app.command("decoders")(decoders.main)
app.command("directions")(directions.main)
app.command("drift")(drift.main)
app.command("duplicates")(duplicates.main)
app.command("engines")(engines.main)
app.command("growth")(growth.main)
app.command("index")(index.main)
app.command("ingest")(ingest.main)
app.command("precision")(precision.main)
app.command("preprocessing")(preprocessing.main)
app.command("quality")(quality.main)
app.command("restarts")(restarts.main)
app.command("search")(search.main)
app.command("serve")(serve.main)
app(prog_name="scripts/bench")
