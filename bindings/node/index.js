// The npm package `hookward`. The verdict is the native half's; here is what JavaScript expects of it: a class, an error with a
// code, headers of every shape. What frameworks need is in web.js.
"use strict";

const { readFileSync } = require("node:fs");
const path = require("node:path");

const native = load();

/** The addon: beside this file, or the package of this platform. */
function load() {
  const { platform, arch } = process;
  const libc = platform === "linux" ? (process.report.getReport().header.glibcVersionRuntime ? "-gnu" : "-musl") : platform === "win32" ? "-msvc" : "";
  const target = `${platform}-${arch}${libc}`;
  const tried = [path.join(__dirname, `hookward.${target}.node`), `@hookward/native-${target}`];
  for (const name of tried) {
    try {
      return require(name);
    } catch (error) {
      if (error.code !== "MODULE_NOT_FOUND") throw error;
    }
  }
  throw new Error(`hookward has no build for ${target}`);
}

class Refused extends Error {
  constructor(code, message) {
    super(message);
    this.name = "Refused";
    this.code = code;
  }
}

class Verifier {
  #native;

  constructor(scheme, secrets, options = {}) {
    const toml = options.toml ?? null;
    const { toleranceS = null, origin = null, parameters = {} } = options;
    this.#native = new native.Verifier(scheme, toml, buffers(secrets), toleranceS, origin, parameters);
  }

  static fromToml(text, secrets, options = {}) {
    return new this("", secrets, { ...options, toml: text });
  }

  static fromFile(file, secrets, options = {}) {
    return this.fromToml(readFileSync(file, "utf8"), secrets, options);
  }

  get scheme() {
    return this.#native.scheme;
  }

  verify(body, headers, { method = "POST", url = "/", now = Date.now() } = {}) {
    const outcome = this.#native.verify({ method, url, headers: pairs(headers), body: buffer(body), now });
    if (!outcome.verified) throw new Refused(outcome.code, outcome.message);
    return outcome.verified;
  }

  handshake(body, headers, { method, url = "/", token, now = Date.now() }) {
    const request = { method, url, headers: pairs(headers), body: buffer(body), now };
    const outcome = this.#native.handshake(request, token === undefined ? null : buffer(token));
    if (outcome.code) throw new Refused(outcome.code, outcome.message);
    return outcome.handshake;
  }

  async verifyRequest(request, { now } = {}) {
    const body = Buffer.from(await request.arrayBuffer());
    const verified = this.verify(body, request.headers, { method: request.method, url: request.url, now });
    return { ...verified, body };
  }

  sign(body, { id = "", eventType = "", method = "POST", url = "https://localhost/", now = Date.now() } = {}) {
    return this.#native.sign({ id, eventType, method, url, body: buffer(body), now });
  }
}

/** Bytes, and nothing that somebody parsed. */
function buffer(bytes) {
  if (typeof bytes === "string") return Buffer.from(bytes);
  if (Buffer.isBuffer(bytes)) return bytes;
  if (ArrayBuffer.isView(bytes)) return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes instanceof ArrayBuffer) return Buffer.from(bytes);
  throw new TypeError("a body is a Buffer, a Uint8Array or a string: the raw bytes, before anything parsed them");
}

function buffers(secrets) {
  const one = typeof secrets === "string" || ArrayBuffer.isView(secrets);
  return (one ? [secrets] : [...secrets]).map(buffer);
}

/** Every value of every header: `Headers` and other pairs, Node's `rawHeaders`, an object with values or lists of them. */
function pairs(headers) {
  if (Array.isArray(headers) && typeof headers[0] === "string") {
    const found = [];
    for (let at = 0; at + 1 < headers.length; at += 2) found.push([headers[at], headers[at + 1]]);
    return found;
  }
  const entries = typeof headers[Symbol.iterator] === "function" ? [...headers] : Object.entries(headers);
  return entries.flatMap(([name, value]) => {
    const values = Array.isArray(value) ? value : [value];
    return values.filter((one) => one !== undefined).map((one) => [name, String(one)]);
  });
}

exports.Refused = Refused;
exports.Verifier = Verifier;
exports.generate = native.generate;
exports.schemes = native.schemes;
exports.schemeSource = native.schemeSource;
// One by one, so that `import { express }` finds them.
const web = require("./web.js")({ Refused });
exports.express = web.express;
exports.fastify = web.fastify;
