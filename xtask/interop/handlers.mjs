// The code of docs/verify, run. The handlers are started as whoever pastes them would and asked: what Hookward signs as GitHub is taken,
// and nothing else. The functions of the page are judged by requests that Hookward signs as Stripe. Prints one line for each. What runs
// Flask is the first argument.

import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
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

const ROOT = new URL("../../../", import.meta.url);
const NOW = 1_800_000_000;

/** How a function of the page is run: the file it stands in, what is put around it, the commands. */
const FUNCTIONS = {
  go: ["verify.go", "go.txt", [["go", "run", "verify.go"]]],
  ruby: ["verify.rb", "ruby.rb", [["ruby", "verify.rb"]]],
  php: ["verify.php", "php.php", [["php", "verify.php"]]],
  java: ["Main.java", "java.txt", [["javac", "-encoding", "UTF-8", "Main.java"], ["java", "-cp", ".", "Main"]]],
  csharp: ["verify.cs", "csharp.txt", [["mcs", "verify.cs"], ["mono", "verify.exe"]]],
};

const page = readFileSync(new URL("docs/verify/README.md", ROOT), "utf8");
const cases = stripeCases();
for (const [language, [file, wrapper, commands]] of Object.entries(FUNCTIONS)) {
  const code = new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, "ms").exec(page)?.[1];
  if (code === undefined) throw new Error(`docs/verify/README.md has no ${language}`);
  const around = readFileSync(new URL(`crates/gateway/tests/it/dashboard/resources/programs/${wrapper}`, ROOT), "utf8");
  const directory = mkdtempSync(path.join(tmpdir(), "hookward-"));
  try {
    writeFileSync(path.join(directory, file), language === "go" ? inMain(code, around) : code + around);
    const found = runAll(commands, directory, cases.map(({ line }) => `${line}\n`).join(""));
    if (found === undefined) continue;
    const expected = cases.map(({ holds }) => String(holds)).join(" ");
    if (found.trim().split(/\s+/).join(" ") !== expected) throw new Error(`docs/verify, ${language}: ${found} and not ${expected}`);
    console.log(`interop: docs/verify, ${language}: ${cases.length} requests judged right`);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** The last command's output; nothing, said aloud, where a program is missing. */
function runAll(commands, cwd, input) {
  let output;
  for (const [program, ...args] of commands) {
    const { error, status, stdout, stderr } = spawnSync(program, args, { cwd, input, encoding: "utf8" });
    if (error?.code === "ENOENT") return void console.log(`interop: SKIPPED: \`${program}\` is missing`);
    if (error || status !== 0) throw new Error(`${program} ${args.join(" ")}: ${error ?? stderr}`);
    output = stdout;
  }
  return output;
}

/** A Go file of its own: one list of imports, and what the wrapper needs besides. */
function inMain(code, around) {
  const needed = ["bufio", "encoding/base64", "fmt", "os", "strconv", "strings"].filter((name) => !code.includes(`"${name}"`));
  const imports = needed.map((name) => `\t"${name}"\n`).join("");
  const program = code.replace("package webhook", "package main").replace("import (\n", `import (\n${imports}`);
  return program + around.replace("VERIFY", "Verify(headers, body, secret, time.Unix(now, 0))");
}

/** Requests as the wrappers read them: base64 of secret and body, the time, and the headers. */
function stripeCases() {
  const base64 = (text) => Buffer.from(text).toString("base64");
  const [secret, older, other] = ["whsec_new", "whsec_old", "whsec_other"];
  const sent = new Verifier("stripe", [secret, older]).sign(BODY, { now: NOW * 1000 }).headers;
  const line = (holds, { key = secret, now = NOW, body = BODY, change = (value) => value } = {}) => {
    const headers = sent.map(([name, value]) => `${name.toLowerCase()}=${base64(change(value))}`);
    return { holds, line: [base64(key), now, base64(body), ...headers].join(" ") };
  };
  return [
    line(true),
    line(true, { key: older }),
    line(false, { key: other }),
    line(false, { body: `${BODY} ` }),
    line(false, { change: () => "" }),
    line(false, { change: (value) => `é${value}` }),
    line(false, { change: (value) => value.slice(0, value.length / 2) }),
    line(false, { change: (value) => value.replace(`t=${NOW}`, `t=${NOW + 1}`) }),
    line(true, { now: NOW + 299 }),
    line(false, { now: NOW + 302 }),
    line(false, { now: NOW - 302 }),
  ];
}
