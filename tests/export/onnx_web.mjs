// Runs an ONNX file in onnxruntime-web, the runtime of transformers.js: node onnx_web.mjs PACKAGES MODEL < inputs.
// Standard input and output are JSON: {name: {dims, data}}; inputs are int64, outputs numbers.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";

const [packages, model] = process.argv.slice(2);
const ort = createRequire(resolve(packages, "here.js"))("onnxruntime-web");
ort.env.wasm.numThreads = 1;
const session = await ort.InferenceSession.create(readFileSync(model), { executionProviders: ["wasm"] });
const feeds = {};
for (const [name, { dims, data }] of Object.entries(JSON.parse(readFileSync(0, "utf8")))) {
  feeds[name] = new ort.Tensor("int64", BigInt64Array.from(data.map(BigInt)), dims);
}
const outputs = Object.entries(await session.run(feeds));
console.log(JSON.stringify(Object.fromEntries(outputs.map(([name, { dims, data }]) => [name, { dims, data: Array.from(data) }]))));
