/** A JSON Schema or a piece of an OpenAPI document. */
export type Json = Record<string, unknown>;

/** Paths and components of one app, to stand in a document with others. */
export interface OpenApiPart {
  paths?: Json;
  components?: { schemas?: Json } & Json;
}
