import type { Stores } from '../../bucket/index.ts';
import { GraphBuilder, int } from '../../onnx/graph-builder.ts';
import type { ModelVersion } from '../../schemas/index.ts';

/** What is wrong with a challenger that was let in on purpose. */
export type Harm = 'hangs' | 'NaN';

/** Multiplications of matrices so large that one takes a second or more, and so many that nobody waits for them. */
const SIDE = 3000;
const TIMES = 100;

/**
 * A graph that takes what a booking has, and is right for bookings of the day (lead_time 0), which is all that its
 * warm-up rows are: so it loads, and passes every check that is made before traffic. For any other booking it hangs, or
 * its score is NaN.
 */
export function brokenGraph(harm: Harm): Uint8Array {
  const graph = new GraphBuilder();
  const lead = graph.input('lead_time', 'double');
  const arrival = graph.input('arrival_date', 'double');
  const right = graph.node('Add', [
    graph.node('Mul', [lead, graph.doubles([0], [1, 1])]),
    graph.doubles([0.3], [1, 1]),
  ]);
  const isToday = graph.node('Equal', [lead, graph.doubles([0], [1, 1])]);
  const score =
    harm === 'NaN'
      ? graph.node('Where', [isToday, right, graph.doubles([NaN], [1, 1])])
      : graph.node('Add', [right, work(graph, lead)]);
  graph.output('scores', graph.cast(score, 'float'), 'float', ['N', 1]);
  const matures = graph.node('Add', [arrival, graph.doubles([14], [1, 1])]); // days, as model.yaml has it
  const seconds = graph.node('Mul', [matures, graph.doubles([86_400], [1, 1])]);
  graph.output('matures_at', graph.node('Reshape', [seconds, graph.ints([-1], [1])]), 'double', ['N']);
  return graph.bytes({ 'gauntlet.graph': `broken: ${harm}` });
}

/** 0, at once where every lead is 0, else after minutes. */
function work(graph: GraphBuilder, lead: string): string {
  const longest = graph.node('ReduceMax', [lead], { keepdims: int(0) });
  const isLong = graph.node('Greater', [longest, graph.doubles([0], [])]);
  const side = graph.node('Where', [isLong, graph.ints([SIDE], []), graph.ints([1], [])]);
  const one = graph.node('Unsqueeze', [side, graph.ints([0], [1])]);
  const zeros = graph.node('Expand', [graph.floats([0], [1, 1]), graph.node('Concat', [one, one], { axis: int(0) })]);
  let product = zeros;
  for (let i = 0; i < TIMES; i++) product = graph.node('MatMul', [product, zeros]);
  return graph.cast(graph.node('ReduceMax', [product], { keepdims: int(0) }), 'double');
}

/** Registers such a version beside a good one, whose inputs and terms it has. Its record says what made it. */
export async function registerBroken(
  { objects, versions }: Pick<Stores, 'objects' | 'versions'>,
  good: ModelVersion,
  harm: Harm,
): Promise<ModelVersion> {
  const { n: _n, ...terms } = good;
  const runId = `demo-${harm === 'NaN' ? 'nan' : harm}`;
  return versions.create({
    ...terms,
    run: runId,
    onnx: await objects.put(brokenGraph(harm)),
    usesPredictedAt: false,
    warmUpRows: good.warmUpRows.map((row) => ({ ...row, lead_time: 0 })),
    referenceHistograms: {},
    metrics: [],
    cause: { workflowId: 'demo', runId, step: 'register' },
    createdAt: new Date().toISOString(),
  });
}
