// What the clients for Node have in common: one object with jobs from stdin, what came of each to stdout, JSON both ways.
const fs = require("node:fs");

// `clientOf` makes, of what all jobs share, a function that answers one of them or throws the client's own error.
exports.answerAll = async function answerAll(clientOf) {
  const given = JSON.parse(fs.readFileSync(0, "utf8"));
  const answered = clientOf(given);
  const outcomes = [];
  for (const job of given.jobs) {
    try {
      outcomes.push(await answered(job));
    } catch (error) {
      outcomes.push({ error: error.status ?? error.statusCode ?? 0, message: String(error.message ?? error) });
    }
  }
  process.stdout.write(JSON.stringify(outcomes));
};
