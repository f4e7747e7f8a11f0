// Load a trace into Perfetto's own trace processor and print the rows of some queries as JSON.
//
//   node trace_processor.mjs FOLDER TRACE QUERY...
//
// FOLDER has its WebAssembly build (trace_processor.wasm, engine_bundle.node.js, engine.mjs).
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { runInThisContext } from 'node:vm';
import { MessageChannel } from 'node:worker_threads';

const [folder, trace, ...queries] = process.argv.slice(2);
const at = (name) => join(folder, name);

// What the bundle, built for a worker of a browser, looks for
Object.assign(globalThis, {
  self: globalThis,
  WorkerGlobalScope: Object,
  location: { href: 'http://localhost/' },
  console: { ...console, log: console.error, warn: console.error },
  XMLHttpRequest: class {
    open() {}
    send() {
      this.response = readFileSync(at('trace_processor.wasm'));
    }
  },
});
runInThisContext(readFileSync(at('engine_bundle.node.js'), 'utf8'));
const { EngineBase } = await import(pathToFileURL(at('engine.mjs')));

class Engine extends EngineBase {
  constructor(port) {
    super();
    this.rpcSendRequestBytes = (bytes) => port.postMessage(bytes);
    port.on('message', (bytes) => this.onRpcResponseBytes(bytes));
  }
}

const { port1, port2 } = new MessageChannel();
self.onmessage({ data: port2 });
const engine = new Engine(port1);
await engine.parse(new Uint8Array(readFileSync(trace)));
await engine.notifyEof();
const answers = [];
for (const query of queries) {
  const found = await engine.query(query);
  const rows = [];
  for (const row = found.iter({}); row.valid(); row.next())
    rows.push(found.columns().map((column) => row.get(column)));
  answers.push(rows);
}
const plain = (_, value) => (typeof value === 'bigint' ? Number(value) : value);
process.stdout.write(JSON.stringify(answers, plain), () => process.exit(0));
