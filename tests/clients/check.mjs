// OpenAI's client for Node, unmodified, against `textnlp serve` with keys.
//
//     node check.mjs URL MODEL KEY
import OpenAI from "openai";

const [url, model, key] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
const messages = [{ role: "user", content: "What is a train?" }];
const seeded = { model, seed: 7, temperature: 0.7, max_tokens: 24 };

function check(what, holds, found = "") {
  console.log(`${holds ? "ok" : "WRONG"}  node: ${what}  ${found}`);
  if (!holds) process.exit(1);
}

const models = [];
for await (const one of client.models.list()) models.push(one.id);
check("models", models.join() === model);

const done = await client.chat.completions.create({ ...seeded, messages });
const text = done.choices[0].message.content;
check("chat", text && done.usage.total_tokens > 0, JSON.stringify(text));

let streamed = "";
let usage;
const stream = await client.chat.completions.create({ ...seeded, messages, stream: true, stream_options: { include_usage: true } });
for await (const chunk of stream) {
  streamed += chunk.choices[0]?.delta?.content ?? "";
  usage = chunk.usage ?? usage;
}
check("a stream has the same text", streamed === text && usage.completion_tokens === done.usage.completion_tokens);

const plain = await client.completions.create({ ...seeded, prompt: "One, two," });
check("completions", plain.choices[0].text, JSON.stringify(plain.choices[0].text));

try {
  await new OpenAI({ baseURL: `${url}/v1`, apiKey: "no", maxRetries: 0 }).models.list();
  check("a wrong key", false, "no error");
} catch (error) {
  check("a wrong key", error instanceof OpenAI.AuthenticationError, error.code);
}
