import * as z from 'zod';
import { ModelSpec } from './model-spec.ts';

/**
 * JSON Schema of model.yaml as it is written, before defaults are filled in; bin/write-json-schema.ts keeps it in
 * schemas/model-spec.schema.json for editors (`# yaml-language-server: $schema=...` at the top of a model.yaml).
 */
export function modelSpecJsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(ModelSpec, { io: 'input', unrepresentable: 'any' });
  return { $id: 'gauntlet/v1/model-spec', title: 'model.yaml', ...schema };
}
