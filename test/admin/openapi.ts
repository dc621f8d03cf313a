// Comparing answers with an OpenAPI document, by a JSON schema validator that knows nothing of this project.

import assert from "node:assert/strict";
import { Ajv2020 } from "ajv/dist/2020.js";
import type { Reply } from "./serve.ts";

export interface Operation {
  summary?: string;
  security?: object[];
  parameters?: { name: string; in: string; description?: string; schema: object }[];
  requestBody?: { content: Record<string, { schema: object }> };
  responses: Record<string, { description: string; content?: Record<string, { schema: object }> }>;
}

export interface ApiDocument {
  paths: Record<string, Record<string, Operation>>;
}

export class AnswerChecker {
  readonly #document: ApiDocument;
  readonly #ajv = new Ajv2020({
    strict: true,
    allErrors: true,
    formats: { "date-time": /^\d{4}-\d\d-\d\dT/ },
  });
  readonly #unchecked: Set<string>;

  constructor(document: ApiDocument) {
    this.#document = document;
    const all = Object.entries(document.paths).flatMap(([path, operations]) =>
      Object.entries(operations).flatMap(([method, { responses }]) =>
        Object.keys(responses).map((status) => `${method.toUpperCase()} ${path} ${status}`),
      ),
    );
    this.#unchecked = new Set(all);
  }

  /** What was documented and never answered, as `METHOD path status`. */
  get unchecked(): string[] {
    return [...this.#unchecked].sort();
  }

  /** @param path with its parameters filled in */
  check(method: string, path: string, { status, headers, text, json }: Reply): void {
    const template = Object.keys(this.#document.paths).find((each) =>
      new RegExp(`^${each.replaceAll(/\{\w+\}/g, "[^/]+")}$`).test(path),
    );
    assert.ok(template, `${path} is not documented`);
    const { responses } = this.#document.paths[template]![method.toLowerCase()]!;
    const key = responses[status] ? `${status}` : "default";
    assert.ok(responses[key], `${method} ${template}: ${status} is not documented`);
    const [type] = String(headers["content-type"]).split(";");
    const media = responses[key].content?.[type!];
    assert.ok(media, `${method} ${template} ${status}: ${type} is not documented`);
    const valid = this.#ajv.compile(media.schema);
    assert.ok(valid(json ?? text), `${method} ${path}: ${JSON.stringify(valid.errors)}`);
    this.#unchecked.delete(`${method.toUpperCase()} ${template} ${key}`);
  }
}
