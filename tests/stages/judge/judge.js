// One document a line in; one line a document out: the list of what Wix's own schema has against it.
const { createInterface } = require("node:readline");
const { validateRicosDocument } = require("ricos-schema/next");

function faults(document) {
  try {
    const { errors = [] } = validateRicosDocument(document);
    return errors.map(({ instancePath, message }) => `${instancePath.join(".")}: ${message}`);
  } catch (error) {
    return [`unreadable: ${error.message}`]; // it falls over some nulls where an object or a text should be
  }
}

createInterface({ input: process.stdin }).on("line", (line) => {
  process.stdout.write(`${JSON.stringify(faults(JSON.parse(line)))}\n`);
});
