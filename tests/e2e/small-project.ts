import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { Random } from '../../numerics/index.ts';

export interface SmallProject {
  name?: string;
  rows?: number;
  /** Changes to model.yaml, merged at the top level. */
  spec?: Record<string, unknown>;
  /** Another file instead of visits.csv. */
  csv?: string;
  sql?: string;
}

/** A project that trains in a second: 1,500 visits a year, a label that depends on a number, a category and the season. */
export async function writeSmallProject(folder: string, o: SmallProject = {}): Promise<string> {
  const { name = 'small', rows = 1500 } = o;
  await mkdir(folder, { recursive: true });
  const spec = {
    apiVersion: 'gauntlet/v1',
    name,
    owner: 'tests',
    description: 'Does a visit end in a purchase?',
    task: 'binary',
    sources: { visits: { file: 'visits.csv', knownAt: 'visited_on' } },
    rows: { entity: 'visit_id' },
    label: { maturesAt: 'predicted_at + 7 days' },
    expectations: [
      { expect: 'unique', column: 'visit_id' },
      { expect: 'between', column: 'pages', min: 0, max: 100 },
    ],
    inputs: {
      pages: { type: 'integer', min: 0, max: 100 },
      spent: { type: 'number', min: 0, max: 10_000, nullable: true },
      channel: { type: 'string', nullable: true, impute: 'none' },
      visited_on: { type: 'date' },
    },
    derived: { visit_month: 'month(visited_on)' },
    split: { asOf: '2025-01-01' },
    training: { algorithm: 'gradientBoosting', trees: 60, maxDepth: 3, learningRate: 0.1, earlyStoppingRounds: 0 },
    evaluation: { slices: ['channel'] },
    ...o.spec,
  };
  await writeFile(join(folder, 'model.yaml'), stringify(spec));
  await writeFile(
    join(folder, 'rows.sql'),
    o.sql ??
      `-- One row per visit, at the end of its day.
SELECT visit_id AS entity, visited_on AS predicted_at, bought AS label, visited_on + 7 AS known_at,
       pages, spent, channel, visited_on
FROM visits
`,
  );
  await writeFile(join(folder, 'visits.csv'), o.csv ?? visits(rows));
  return folder;
}

export function visits(rows: number): string {
  const random = new Random(11);
  const lines = ['visit_id,visited_on,pages,spent,channel,bought'];
  for (let i = 0; i < rows; i++) {
    const day = new Date(Date.UTC(2024, 0, 1) + Math.floor((i / rows) * 340) * 86_400_000).toISOString().slice(0, 10);
    const pages = Math.floor(random.float() * 40);
    const spent = random.float() < 0.1 ? '' : (random.float() * 200).toFixed(2);
    const channel = ['search', 'mail', 'direct', ''][Math.floor(random.float() * 4)]!;
    const z = (pages - 20) / 8 + (channel === 'mail' ? 1 : 0) - (Number(day.slice(5, 7)) > 6 ? 0.5 : 0);
    const bought = random.float() < 1 / (1 + Math.exp(-z));
    lines.push(`${i + 1},${day},${pages},${spent},${channel},${bought}`);
  }
  return lines.join('\n') + '\n';
}
