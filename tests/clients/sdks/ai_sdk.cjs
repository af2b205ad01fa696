// Vercel's `ai` with its providers for OpenAI and Anthropic: jobs in on stdin, outcomes out, JSON both ways.
const { answerAll } = require("./jobs.cjs");
const { generateText, jsonSchema, Output, streamText, tool } = require("ai");
const { createAnthropic } = require("@ai-sdk/anthropic");
const { createOpenAI } = require("@ai-sdk/openai");

function asked(model, job) {
  const content = [{ type: "text", text: job.text }];
  if (job.image) content.push({ type: "file", data: Buffer.from(job.image, "base64"), mediaType: "image/png" });
  const options = { model, maxRetries: 0, maxOutputTokens: 2000, messages: [{ role: "user", content }] };
  if (job.tools) {
    const made = job.tools.map(({ name, schema }) => [name, tool({ description: "a tool", inputSchema: jsonSchema(schema) })]);
    options.tools = Object.fromEntries(made);
  }
  if (job.schema) {
    options.output = Output.object({ schema: jsonSchema(job.schema) });
    // It goes by the names of Anthropic's own models, and these are none.
    options.providerOptions = { anthropic: { structuredOutputMode: "outputFormat" } };
  }
  return options;
}

async function answered(model, job) {
  let result;
  if (job.stream) {
    let failed = null;
    result = streamText({ ...asked(model, job), onError: ({ error }) => (failed = error) });
    await result.consumeStream();
    if (failed) throw failed;
  } else {
    result = await generateText(asked(model, job));
  }
  const usage = await result.totalUsage;
  return {
    text: await result.text,
    thoughts: (await result.reasoningText) ?? "",
    tools: (await result.toolCalls).map((call) => [call.toolName, call.input]),
    stop: (await result.finishReason) === "tool-calls",
    tokens: [usage.inputTokens, usage.outputTokens],
  };
}

answerAll(({ url, key, api }) => {
  const options = { baseURL: url + "/v1", apiKey: key };
  const models = {
    chat: (name) => createOpenAI(options).chat(name),
    responses: (name) => createOpenAI(options).responses(name),
    messages: (name) => createAnthropic(options)(name),
  };
  return (job) => answered(models[api](job.model), job);
});
