// OpenAI's client for Node, by Chat Completions or Responses: jobs in on stdin, outcomes out, JSON both ways.
const { answerAll } = require("./jobs.cjs");
const OpenAI = require("openai");

async function chat(client, job) {
  const content = [{ type: "text", text: job.text }];
  if (job.image) content.push({ type: "image_url", image_url: { url: "data:image/png;base64," + job.image } });
  const asked = { model: job.model, messages: [{ role: "user", content }] };
  if (job.tools) {
    asked.tools = job.tools.map(({ name, schema }) => ({ type: "function", function: { name, parameters: schema } }));
  }
  if (job.schema) asked.response_format = { type: "json_schema", json_schema: { name: "it", schema: job.schema } };
  let thoughts = "";
  let answer;
  if (job.stream) {
    const stream = client.chat.completions.stream({ ...asked, stream_options: { include_usage: true } });
    // The client's own gathering keeps the last piece only of members that it does not know.
    stream.on("chunk", (chunk) => (thoughts += chunk.choices[0]?.delta.reasoning_content ?? ""));
    answer = await stream.finalChatCompletion();
  } else {
    answer = await client.chat.completions.create(asked);
    thoughts = answer.choices[0].message.reasoning_content ?? "";
  }
  const [{ message, finish_reason }] = answer.choices;
  return {
    text: message.content ?? "",
    thoughts,
    tools: (message.tool_calls ?? []).map((call) => [call.function.name, JSON.parse(call.function.arguments)]),
    stop: finish_reason === "tool_calls",
    tokens: [answer.usage.prompt_tokens, answer.usage.completion_tokens],
  };
}

async function responses(client, job) {
  const content = [{ type: "input_text", text: job.text }];
  if (job.image) content.push({ type: "input_image", image_url: "data:image/png;base64," + job.image });
  const asked = { model: job.model, input: [{ role: "user", content }] };
  if (job.tools) {
    asked.tools = job.tools.map(({ name, schema }) => ({ type: "function", name, parameters: schema, strict: false }));
  }
  if (job.schema) asked.text = { format: { type: "json_schema", name: "it", schema: job.schema } };
  const answer = job.stream
    ? await client.responses.stream(asked).finalResponse()
    : await client.responses.create(asked);
  const calls = answer.output.filter((item) => item.type === "function_call");
  const thoughts = answer.output.filter((item) => item.type === "reasoning").flatMap((item) => item.summary ?? []);
  return {
    text: answer.output_text,
    thoughts: thoughts.map((part) => part.text).join(""),
    tools: calls.map((call) => [call.name, JSON.parse(call.arguments)]),
    stop: calls.length > 0,
    tokens: [answer.usage.input_tokens, answer.usage.output_tokens],
  };
}

answerAll(({ url, key, api }) => {
  const client = new OpenAI({ baseURL: url + "/v1", apiKey: key, maxRetries: 0 });
  return (job) => (api === "chat" ? chat : responses)(client, job);
});
