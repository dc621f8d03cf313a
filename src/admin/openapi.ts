// The OpenAPI document of the routes that come after.

import swagger from "@fastify/swagger";
import { jsonSchemaTransform } from "fastify-type-provider-zod";
import type { App } from "./route.ts";

/** Version of the paths below /v1: its first number changes with them. */
const API_VERSION = "1.0.0";

/** Routes whose `config` says that they are open need no token. */
const transform: typeof jsonSchemaTransform = (document) => {
  const { schema, url } = jsonSchemaTransform(document);
  const open = "route" in document && document.route.config?.open === true;
  return { url, schema: open ? { ...schema, security: [] } : schema };
};

export async function describe(app: App): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: {
        title: "Guideway",
        version: API_VERSION,
        description: "Operates one machine, on a unix socket and over TCP.",
        license: { name: "Apache-2.0", identifier: "Apache-2.0" },
      },
      servers: [{ url: "/", description: "The machine that this document is from" }],
      security: [{ token: [] }, {}],
      components: {
        securitySchemes: {
          token: {
            type: "http",
            scheme: "bearer",
            description: "Over TCP, where admin.token is configured. The unix socket needs none.",
          },
        },
      },
    },
    transform,
  });
}
