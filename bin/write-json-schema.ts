import { writeFileSync } from 'node:fs';
import { modelSpecJsonSchema } from '../schemas/json-schema.ts';

const file = new URL('../schemas/model-spec.schema.json', import.meta.url);
writeFileSync(file, `${JSON.stringify(modelSpecJsonSchema(), null, 2)}\n`);
