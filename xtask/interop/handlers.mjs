// The handlers of docs/verify, started as whoever pastes them would, and asked: what Hookward signs as GitHub is taken, and nothing else.
// Prints one line for each. What runs Flask is the first argument.

import { spawn } from "node:child_process";
import { Verifier } from "hookward";

const SECRET = "it's a secret";
const BODY = JSON.stringify({ ref: "refs/heads/main", text: "naïve 🦀" });
const github = new Verifier("github", SECRET);
const headers = Object.fromEntries(github.sign(BODY, { id: "1", eventType: "push" }).headers);
const signature = headers["X-Hub-Signature-256"];

const HANDLERS = [
  ["express.mjs", process.execPath, ["express.mjs"]],
  ["flask_app.py", process.argv[2], ["-B", "-u", "flask_app.py"]],
];

const CASES = [
  [204, BODY, headers],
  [401, `${BODY} `, headers],
  [401, BODY, {}],
  [401, BODY, { ...headers, "X-Hub-Signature-256": signature.toUpperCase() }],
  [401, BODY, { ...headers, "X-Hub-Signature-256": signature.slice(0, -1) }],
  [401, BODY, { ...headers, "X-Hub-Signature-256": `${signature.slice(0, -1)}\xe9` }],
  [401, BODY, Object.fromEntries(new Verifier("github", "another").sign(BODY, {}).headers)],
];

for (const [name, program, args] of HANDLERS) {
  const child = spawn(program, args, { env: { ...process.env, PORT: "0", WEBHOOK_SECRET: SECRET } });
  try {
    const port = await portOf(child, name);
    for (const type of ["application/json", "text/plain", "application/x-www-form-urlencoded"]) {
      for (const [expected, body, sent] of CASES) {
        const options = { method: "POST", body, headers: { ...sent, "content-type": type } };
        const { status } = await fetch(`http://127.0.0.1:${port}/hooks/github`, options);
        if (status !== expected) throw new Error(`${name}: ${status} and not ${expected} for ${JSON.stringify(options)}`);
      }
    }
  } finally {
    child.kill();
  }
  const bare = spawn(program, args, { env: { ...process.env, PORT: "0", WEBHOOK_SECRET: "" }, stdio: "ignore" });
  const status = await new Promise((done) => bare.on("exit", done));
  if (status === 0 || status === null) throw new Error(`${name} starts without a secret`);
  console.log(`interop: docs/verify/${name} takes what is authentic, and nothing of ${CASES.length - 1} others`);
}

/** The port that it says it listens on. */
function portOf(child, name) {
  return new Promise((found, failed) => {
    let said = "";
    const listen = (chunk) => {
      said += chunk;
      const port = /(?:listening on |127\.0\.0\.1:)([0-9]+)/.exec(said);
      if (port) found(port[1]);
    };
    child.stdout.on("data", listen);
    child.stderr.on("data", listen);
    child.on("exit", (status) => failed(new Error(`${name} ended with ${status}: ${said}`)));
  });
}
