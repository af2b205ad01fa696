// Anthropic's client for Node: jobs in on stdin, what came of each out on stdout, JSON both ways.
const { answerAll } = require("./jobs.cjs");
const Anthropic = require("@anthropic-ai/sdk");

async function answered(client, job) {
  const content = [{ type: "text", text: job.text }];
  if (job.image) {
    content.unshift({ type: "image", source: { type: "base64", media_type: "image/png", data: job.image } });
  }
  const asked = { model: job.model, max_tokens: 2000, messages: [{ role: "user", content }] };
  if (job.tools) asked.tools = job.tools.map(({ name, schema }) => ({ name, description: "a tool", input_schema: schema }));
  if (job.schema) asked.output_config = { format: { type: "json_schema", schema: job.schema } };
  const message = job.stream ? await client.messages.stream(asked).finalMessage() : await client.messages.create(asked);
  const blocks = (type) => message.content.filter((block) => block.type === type);
  return {
    text: blocks("text").map((block) => block.text).join(""),
    thoughts: blocks("thinking").map((block) => block.thinking).join(""),
    tools: blocks("tool_use").map((block) => [block.name, block.input]),
    stop: message.stop_reason === "tool_use",
    tokens: [message.usage.input_tokens + (message.usage.cache_read_input_tokens ?? 0), message.usage.output_tokens],
  };
}

answerAll(({ url, key }) => {
  const client = new Anthropic({ baseURL: url, apiKey: key, maxRetries: 0 });
  return (job) => answered(client, job);
});
