// Talks to the server; every fault has a cause and a cure.

export class Fault extends Error {
  constructor(said, status) {
    super(said.cause || "the server does not answer");
    this.cause = this.message;
    this.cure = said.cure || "is slicekit review still running in the terminal?";
    this.status = status;
  }
}

async function ask(method, path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { method, credentials: "same-origin", ...options });
  } catch {
    throw new Fault({}, 0);
  }
  if (!answer.ok) {
    throw new Fault(await answer.json().catch(() => ({})), answer.status);
  }
  return answer;
}

const json = async (answer) => (await answer).json();
const body = (content) => ({
  body: JSON.stringify(content),
  headers: { "content-type": "application/json" },
});

export const cases = () => json(ask("GET", "/api/cases"));

export function openCase(index) {
  const at = `/api/cases/${index}`;
  return {
    index,
    about: () => json(ask("GET", at)),
    state: (watch = false) => json(ask("GET", `${at}/state${watch ? "?watch=true" : ""}`)),
    image: (signal) => ask("GET", `${at}/image`, { signal }),
    async imageSlice(z) {
      const answer = await ask("GET", `${at}/image/${z}`);
      return new Int16Array(await answer.arrayBuffer());
    },
    async labelsSince(revision) {
      const answer = await ask("GET", `${at}/labels?since=${revision}`);
      const buffer = await answer.arrayBuffer();
      const size = new DataView(buffer).getUint32(0, true);
      const about = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, size)));
      const Kind = about.label_bytes === 2 ? Uint16Array : Uint8Array;
      return { ...about, planes: new Kind(buffer, 4 + size) };
    },
    putSlice: (z, plane, drawn, seen) =>
      json(ask("PUT", `${at}/slices/${z}?drawn=${[...drawn].join(",")}&seen=${seen}`, { body: plane })),
    addOrgan: (name) => json(ask("POST", `${at}/organs`, body({ name }))),
    propagate: () => json(ask("POST", `${at}/propagate`)),
    stop: () => json(ask("DELETE", `${at}/propagate`)),
    save: () => json(ask("POST", `${at}/save`)),
    versions: () => json(ask("GET", `${at}/versions`)),
    restore: (number) => json(ask("POST", `${at}/versions/${number}/restore`)),
    judge: (verdict, remark) => json(ask("POST", `${at}/verdict`, body({ verdict, remark }))),
  };
}
