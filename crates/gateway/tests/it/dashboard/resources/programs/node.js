

const decode = (text) => Buffer.from(text, "base64");
for (const line of require("node:fs").readFileSync(0, "utf8").trim().split("\n")) {
  const [secret, now, body, ...rest] = line.split(" ");
  const headers = {};
  for (const pair of rest) headers[pair.split("=")[0]] = decode(pair.slice(pair.indexOf("=") + 1)).toString();
  console.log(verify(headers, decode(body), decode(secret).toString(), Number(now) * 1000));
}
