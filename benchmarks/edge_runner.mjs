// As edge_runner.py, for onnxruntime-web under node: node edge_runner.mjs NODE_MODULES GRAPH IDS
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [modules, graph, given] = process.argv.slice(2);
const ort = await import(pathToFileURL(`${modules}/onnxruntime-web/dist/ort.node.min.mjs`));
ort.env.wasm.numThreads = 1;
const session = await ort.InferenceSession.create(readFileSync(graph), { executionProviders: ["wasm"] });
const rows = JSON.parse(readFileSync(given));

function padded(ids, length, value) {
  return ids.concat(Array(length - ids.length).fill(value));
}

async function run(count) {
  const some = rows.slice(0, count);
  const length = Math.max(...some.map((ids) => ids.length));
  const tensor = (values) => new ort.Tensor("int64", BigInt64Array.from(values.flat(), BigInt), [count, length]);
  await session.run({
    input_ids: tensor(some.map((ids) => padded(ids, length, 0))),
    attention_mask: tensor(some.map((ids) => padded(ids.map(() => 1), length, 0))),
    token_type_ids: tensor(some.map(() => Array(length).fill(0))),
  });
}

for await (const line of createInterface({ input: process.stdin })) {
  const start = process.cpuUsage();
  await run(Number(line));
  const taken = process.cpuUsage(start);
  console.log((taken.user + taken.system) / 1e6);
}
