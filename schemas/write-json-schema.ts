import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { format } from 'prettier';
import * as z from 'zod';
import { ModelSpec } from './model-spec.ts';

/** Where editors find it: model.yaml may begin with `# yaml-language-server: $schema=<this file>`. */
export const JSON_SCHEMA_FILE = fileURLToPath(new URL('model-spec.schema.json', import.meta.url));

/** JSON Schema of model.yaml as it is written, before defaults are filled in. */
export async function modelSpecJsonSchema(): Promise<string> {
  const schema = z.toJSONSchema(ModelSpec, { io: 'input', unrepresentable: 'any' });
  return format(JSON.stringify({ $id: 'gauntlet/v1/model-spec', title: 'model.yaml', ...schema }), {
    parser: 'json',
    printWidth: 120,
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(JSON_SCHEMA_FILE, await modelSpecJsonSchema());
