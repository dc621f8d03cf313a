// A walk over the schema's own declaration: for the known keys in errors, and for the documentation.
import { z } from "zod";

type Schema = z.core.$ZodType;

/** What lies under defaults, optionals and transformations, and what those say of it. */
export interface Field {
  /** ZodObject, ZodRecord, ZodArray, or something scalar. */
  core: Schema;
  description: string | undefined;
  /** What a value may be, for scalars. */
  expected: string | undefined;
  /** The default as a user would write it; undefined where there is none. */
  fallback: unknown;
  optional: boolean;
}

/** Unwraps a schema. */
export function field(schema: Schema): Field {
  const found: Field = {
    core: schema,
    description: undefined,
    expected: undefined,
    fallback: undefined,
    optional: false,
  };
  for (;;) {
    const meta = z.globalRegistry.get(found.core);
    found.description ??= meta?.description;
    found.expected ??= meta?.expected as string | undefined;
    const core = found.core;
    if (core instanceof z.ZodOptional || core instanceof z.ZodPrefault) {
      found.optional = true;
      if (core instanceof z.ZodPrefault) found.fallback = core.def.defaultValue;
      found.core = core.def.innerType;
    } else if (core instanceof z.ZodPipe)
      found.core = core.def.out instanceof z.ZodTransform ? core.def.in : core.def.out;
    else return found;
  }
}

/** The schemas of a map's keys, or undefined when it is not a map with fixed keys. */
export function fieldsOf(schema: Schema): Record<string, Schema> | undefined {
  const { core } = field(schema);
  return core instanceof z.ZodObject ? core.shape : undefined;
}

/** The schema of a list's or a record's items, or undefined when it is neither. */
export function itemOf(schema: Schema): Schema | undefined {
  const { core } = field(schema);
  if (core instanceof z.ZodArray) return core.element as Schema;
  return core instanceof z.ZodRecord ? core.valueType : undefined;
}

/** The known keys of the map at a path; empty when there is none. */
export function keysAt(schema: Schema, path: readonly PropertyKey[]): string[] {
  let at: Schema | undefined = schema;
  for (const segment of path) at = at && (itemOf(at) ?? fieldsOf(at)?.[String(segment)]);
  return Object.keys((at && fieldsOf(at)) ?? {});
}
