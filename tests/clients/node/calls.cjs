// Run by Node: a job a line from stdin, what came of it a line to stdout, JSON both ways. A job names a function below, its
// argument and the environment, where this client finds address and key itself: OPENAI_BASE_URL and OPENAI_API_KEY.
const readline = require("node:readline");
const OpenAI = require("openai");
const { toFile } = OpenAI;

let client;

async function gathered(stream) {
  const all = [];
  for await (const one of stream) all.push(one);
  return all;
}

const calls = {
  chat: (body) => client.chat.completions.create(body),
  stream: async (body) => gathered(await client.chat.completions.create({ ...body, stream: true })),
  helper: async (body) => client.chat.completions.stream(body).finalChatCompletion(),
  leave: async (body) => {
    for await (const one of await client.chat.completions.create({ ...body, stream: true })) return one;
  },
  respond: async (body) => (await client.responses.create(body)).output_text,
  respondStreamed: async (body) => (await client.responses.stream(body).finalResponse()).output_text,
  embed: (body) => client.embeddings.create(body),
  models: () => gathered(client.models.list()),
  fileThereAndBack: async ({ name, base64 }) => {
    const content = Buffer.from(base64, "base64");
    const made = await client.files.create({ file: await toFile(content, name), purpose: "user_data" });
    const listed = await gathered(client.files.list());
    const back = await (await client.files.content(made.id)).arrayBuffer();
    const gone = await client.files.delete(made.id);
    return {
      back: Buffer.from(back).toString("base64"),
      listed: listed.some((one) => one.id === made.id),
      deleted: gone.deleted,
    };
  },
  transcribe: async ({ model, text }) =>
    client.audio.transcriptions.create({ model, file: await toFile(Buffer.from(text), "cat.mp3") }),
  speak: async (body) => Buffer.from(await (await client.audio.speech.create(body)).arrayBuffer()).toString("base64"),
};

async function outcome(job) {
  Object.assign(process.env, job.environment);
  client = new OpenAI({ maxRetries: 0 });
  try {
    return { answer: await calls[job.call](job.with) };
  } catch (error) {
    if (!(error instanceof OpenAI.OpenAIError)) throw error;
    const { status, code, type, requestID } = error;
    return { error: error.constructor.name, message: error.message, status, code, type, requestID };
  }
}

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    process.stdout.write(JSON.stringify(await outcome(JSON.parse(line))) + "\n");
  }
}

main();
