import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import * as z from 'zod';
import { createProgram } from '../../cli/program.ts';
import { FUNCTIONS } from '../../onnx/expression/functions.ts';
import { ModelSpec } from '../../schemas/index.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const text = (file: string) => readFile(join(root, file), 'utf8');

describe('docs', () => {
  it('model-yaml.md has every field of the schema', async () => {
    const guide = await text('docs/model-yaml.md');
    expect(
      [...fieldsOf(z.toJSONSchema(ModelSpec, { io: 'input' }))].filter((field) => !mentions(guide, field)),
    ).toEqual([]);
  });

  it('model-yaml.md has every function of the expression language', async () => {
    const guide = await text('docs/model-yaml.md');
    expect(Object.keys(FUNCTIONS).filter((name) => !mentions(guide, name))).toEqual([]);
  });

  it("the README's model is a valid one", async () => {
    const readme = await text('README.md');
    const block = /```yaml\n([\s\S]*?)```/.exec(readme)?.[1] ?? '';
    expect(ModelSpec.safeParse(parse(block)).error?.issues ?? []).toEqual([]);
  });

  it('the README names every command, and links every guide', async () => {
    const readme = await text('README.md');
    const table = readme.slice(readme.indexOf('## The command'), readme.indexOf('| environment '));
    const commands = createProgram().commands.map((command) => command.name());
    expect(commands.filter((name) => !mentions(table, name))).toEqual([]);
    const guides = (await readdir(join(root, 'docs'))).filter((name) => name.endsWith('.md'));
    const more = readme.slice(readme.indexOf('## More'));
    expect(guides.filter((name) => !more.includes(`(docs/${name})`))).toEqual([]);
  });

  it('links between pages lead somewhere', async () => {
    const pages = ['README.md', 'CHANGELOG.md', ...(await markdown('docs')), ...(await markdown('examples'))];
    const broken: string[] = [];
    for (const page of pages)
      for (const [, target] of (await text(page)).matchAll(/\]\(([^)#:]+)\)/g)) {
        const file = join(dirname(page), target!);
        const there = await readdir(join(root, dirname(file))).then(
          (names) => names.includes(file.split('/').at(-1)!),
          () => false,
        );
        if (!there) broken.push(`${page}: ${target}`);
      }
    expect(broken).toEqual([]);
  });
});

async function markdown(folder: string): Promise<string[]> {
  const names = await readdir(join(root, folder), { recursive: true });
  return names.filter((name) => name.endsWith('.md')).map((name) => join(folder, name));
}

/** A name counts as mentioned where it stands in code: between backticks, or in a block. */
function mentions(guide: string, name: string): boolean {
  return new RegExp(`(\`[^\`\n]*\\b${name}\\b[^\`\n]*\`)|(^ .*\\b${name}\\b)|(^#+ ${name}$)`, 'm').test(guide);
}

/** Names of all properties in a JSON Schema, however deep. */
function fieldsOf(schema: unknown, found = new Set<string>()): Set<string> {
  if (Array.isArray(schema)) for (const item of schema) fieldsOf(item, found);
  else if (typeof schema === 'object' && schema !== null)
    for (const [key, value] of Object.entries(schema)) {
      if (key === 'properties') for (const name of Object.keys(value as object)) found.add(name);
      fieldsOf(value, found);
    }
  return found;
}
