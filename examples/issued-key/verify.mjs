// Recognizes a key that Bowline issued. Needs Node's standard library alone.
//
//   printf %s "$KEY" | node verify.mjs /var/run/zapier/issued_keys
//
// prints the id of the key, or exits with 1 if the key is not valid.
import { createHash, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

/** The id of the issued key that `key` is; undefined if it is none that is valid. `file` is from the published Secret. */
export function idOf(key, file, now = new Date()) {
  const digest = createHash("sha256").update(key, "utf8").digest();
  // Read for each check: the file changes when keys are created, expire or are revoked.
  const issued = JSON.parse(readFileSync(file, "utf8"));
  let id;
  // Each one is compared, in constant time, so that the time taken tells nothing.
  for (const known of issued) {
    const isSame = timingSafeEqual(digest, Buffer.from(known.sha256, "hex"));
    // The file may be an old one.
    const isValid = known.not_after === undefined || now < new Date(known.not_after);
    if (isSame && isValid) id = known.id;
  }
  return id;
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const id = idOf(readFileSync(0, "utf8").trim(), process.argv[2]);
  if (id === undefined) {
    console.error("not a valid key");
    process.exit(1);
  }
  console.log(id);
}
