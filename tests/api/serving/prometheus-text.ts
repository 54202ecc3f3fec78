/** One sample: its value, by its name and labels as the text has them, labels sorted. */
export type Samples = Map<string, number>;

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const LABEL = String.raw`[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"`;
const SAMPLE = new RegExp(
  String.raw`^(${NAME})(?:\{(${LABEL}(?:,${LABEL})*)?\})? (-?[\d.]+(?:e[+-]?\d+)?|[+-]Inf|Na[nN])$`,
);
const COMMENT = new RegExp(`^# (?:HELP (${NAME}) .+|TYPE (${NAME}) (counter|gauge|histogram|summary))$`);

/**
 * Prometheus' text format, read strictly: every family has its help and type before its samples and stands together, no
 * sample comes twice, and the buckets of a histogram grow up to its count.
 *
 * @see https://prometheus.io/docs/instrumenting/exposition_formats/
 */
export function readPrometheus(text: string): Samples {
  if (!text.endsWith('\n')) throw new Error('the text does not end with a line feed');
  const samples: Samples = new Map();
  const types = new Map<string, string>();
  let family: string | undefined;
  let helped: string | undefined;
  for (const line of text.split('\n').filter(Boolean)) {
    const comment = COMMENT.exec(line);
    if (comment) {
      const [, help, typed, type] = comment;
      if (help) helped = help;
      else if (typed !== helped || types.has(typed!)) throw new Error(`type without help, or a second time: ${line}`);
      else types.set((family = typed!), type!);
      continue;
    }
    const [, name, labels = '', value] = SAMPLE.exec(line) ?? [];
    if (name === undefined) throw new Error(`neither a comment nor a sample: ${line}`);
    if (baseOf(name, types) !== family) throw new Error(`outside of its family ${family}: ${line}`);
    const key = keyOf(name, labels.match(new RegExp(LABEL, 'g')) ?? []);
    if (samples.has(key)) throw new Error(`a second time: ${line}`);
    samples.set(key, Number(value!.replace('Inf', 'Infinity').replace('Nan', 'NaN')));
  }
  for (const [name, type] of types) if (type === 'histogram') checkHistogram(name, samples);
  return samples;
}

const keyOf = (name: string, labels: string[]): string =>
  labels.length > 0 ? `${name}{${labels.sort().join(',')}}` : name;

function baseOf(name: string, types: Map<string, string>): string {
  const base = name.replace(/_(bucket|sum|count)$/, '');
  return ['histogram', 'summary'].includes(types.get(base) ?? '') ? base : name;
}

function checkHistogram(name: string, samples: Samples): void {
  const series = new Map<string, { le: number; count: number }[]>();
  for (const [key, count] of samples) {
    if (!key.startsWith(`${name}_bucket{`)) continue;
    const labels = key.slice(name.length + 8, -1).match(new RegExp(LABEL, 'g'))!;
    const le = Number(
      labels
        .find((label) => label.startsWith('le='))!
        .slice(4, -1)
        .replace('+Inf', 'Infinity'),
    );
    const rest = keyOf(
      `${name}_count`,
      labels.filter((label) => !label.startsWith('le=')),
    );
    series.set(rest, [...(series.get(rest) ?? []), { le, count }]);
  }
  for (const [key, buckets] of series) {
    buckets.sort((a, b) => a.le - b.le);
    const grows = buckets.every(({ count }, i) => i === 0 || count >= buckets[i - 1]!.count);
    const last = buckets.at(-1)!;
    if (!grows || last.le !== Infinity || last.count !== samples.get(key))
      throw new Error(`the buckets of ${key} do not add up: ${JSON.stringify(buckets)}`);
  }
}
