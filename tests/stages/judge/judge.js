// One document a line in; one line a document out: the list of what Wix's own schema has against it.
const { createInterface } = require("node:readline");
const { validateRicosDocument } = require("ricos-schema/next");

createInterface({ input: process.stdin }).on("line", (line) => {
  const verdict = validateRicosDocument(JSON.parse(line));
  const faults = (verdict.errors ?? []).map((error) => `${error.instancePath.join(".")}: ${error.message}`);
  process.stdout.write(`${JSON.stringify(faults)}\n`);
});
