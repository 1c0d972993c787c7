// People sign in at the running gateway by way of oidc-provider, a certified OpenID Connect provider, with nothing of ours
// in between but a browser's manners: it follows redirects, keeps cookies, and sends the provider's own forms.
// Started by `cargo xtask oidc`, which owns the gateway.
//
// Prints the issuer, reads one line of JSON ({ admin, secret }), then does its work.

import { strict as assert } from "node:assert";
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import Provider from "oidc-provider";

/** Requests that one sign-in may take, with every redirect and form. */
const STEPS = 20;

/** Cookies by origin. Paths do not matter here. */
class Jar {
  cookies = new Map();

  take(url, response) {
    const { origin } = new URL(url);
    const kept = this.cookies.get(origin) ?? new Map();
    for (const line of response.headers.getSetCookie()) {
      const [name, value] = line.split(";")[0].split(/=(.*)/s);
      kept.set(name, value);
    }
    this.cookies.set(origin, kept);
  }

  header(url) {
    const kept = this.cookies.get(new URL(url).origin) ?? new Map();
    return [...kept].map(([name, value]) => `${name}=${value}`).join("; ");
  }
}

let answer = (request, response) => response.writeHead(503).end();
const server = createServer((request, response) => answer(request, response));
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const issuer = `http://127.0.0.1:${server.address().port}`;
console.log(issuer);
const [line] = await lines(1);
const { admin, secret } = JSON.parse(line);

const keys = newKeys();

try {
  for (const { alg } of keys) {
    await signIn(alg);
  }
  process.exitCode = 0;
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  server.closeAllConnections();
  server.close();
}

/** The provider with its tokens signed by one algorithm. */
async function signIn(algorithm) {
  const redirect = `http://${admin}/auth/oidc/node/callback`;
  const provider = new Provider(issuer, {
    jwks: { keys },
    clients: [
      {
        client_id: "hookward",
        client_secret: secret,
        redirect_uris: [redirect],
        id_token_signed_response_alg: algorithm,
      },
    ],
    pkce: { required: () => true },
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
    enabledJWA: { idTokenSigningAlgValues: [algorithm] },
    cookies: { keys: ["interop"] },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: `${id}@example.com`, email_verified: id !== "mallory", name: id }),
    }),
  });
  answer = provider.callback();
  const ada = await browse(`http://${admin}/auth/oidc/node`, "ada");
  assert.equal(ada.status, 200, ada.text);
  assert.equal(ada.body.user.email, "ada@example.com");
  const me = await fetch(`http://${admin}/api/v1/me`, { headers: { cookie: ada.jar.header(`http://${admin}`) } });
  assert.equal((await me.json()).actor, "user:ada@example.com");
  const again = await fetch(ada.back, { redirect: "manual", headers: { cookie: ada.kept } });
  assert.equal(again.status, 401, "the provider takes a code once");
  console.log(`oidc: ${algorithm}: signed in, and the code a second time was refused`);
  if (algorithm === "RS256") {
    const mallory = await browse(`http://${admin}/auth/oidc/node`, "mallory");
    assert.equal(mallory.status, 403, mallory.text);
    console.log("oidc: an address that the provider has not verified was refused");
  }
}

/** A new key for each algorithm. */
function newKeys() {
  const kinds = {
    RS256: ["rsa", { modulusLength: 2048 }],
    ES256: ["ec", { namedCurve: "P-256" }],
    EdDSA: ["ed25519", {}],
  };
  return Object.entries(kinds).map(([alg, [kind, options]]) => {
    const { privateKey } = generateKeyPairSync(kind, options);
    return { ...privateKey.export({ format: "jwk" }), alg, use: "sig", kid: alg };
  });
}

/** Goes where it is sent, fills in what it is asked, until the gateway says something. */
async function browse(start, who) {
  const jar = new Jar();
  let request = { url: start, method: "GET" };
  for (let step = 0; step < STEPS; step += 1) {
    const { url, method, body } = request;
    const kept = jar.header(url);
    const headers = { cookie: kept, ...(body && { "content-type": "application/x-www-form-urlencoded" }) };
    const response = await fetch(url, { method, body, headers, redirect: "manual" });
    jar.take(url, response);
    const location = response.headers.get("location");
    const text = await response.text();
    if (location) {
      request = { url: new URL(location, url).href, method: "GET" };
    } else if (url.startsWith(`http://${admin}/`)) {
      return { status: response.status, text, body: JSON.parse(text), jar, back: url, kept };
    } else {
      request = form(url, text, who);
    }
  }
  throw new Error(`no end after ${STEPS} steps`);
}

/** The provider's own form, filled in. */
function form(url, page, who) {
  const action = /<form[^>]*action="([^"]+)"/.exec(page)?.[1];
  assert.ok(action, `no form at ${url}: ${page}`);
  const prompt = /name="prompt" value="([^"]+)"/.exec(page)?.[1];
  const body = new URLSearchParams({ prompt, ...(prompt === "login" && { login: who, password: "any" }) });
  return { url: new URL(action.replaceAll("&amp;", "&"), url).href, method: "POST", body };
}

async function lines(count) {
  const read = [];
  for await (const line of createInterface({ input: process.stdin })) {
    read.push(line);
    if (read.length === count) break;
  }
  return read;
}
