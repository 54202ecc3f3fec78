/**
 * Graphs that do harm when a row says so, and answer `x` otherwise: which row an answer belongs to can be read from it.
 * All take `x`, and most a lever beside it, which may be left out.
 */
import { createHash } from 'node:crypto';
import type { Stores } from '../../../../bucket/index.ts';
import { openModel } from '../../../../onnx/index.ts';
import { InputSchema, type ModelVersion, type RawRow } from '../../../../schemas/index.ts';
import { RawGraph } from '../../../onnx/support/raw-graph.ts';

export interface OddGraph {
  bytes: Uint8Array;
  inputs: InputSchema;
  warmUpRows: RawRow[];
}

/**
 * Takes as many milliseconds as `ms` says, of a batch the most that any row says, on a machine that does nothing else;
 * 0 when it is left out.
 */
export async function slow(): Promise<OddGraph> {
  const turns = 5_000;
  const once = loopOf('ms', 1, sines);
  const onnx = await openModel({ bytes: once.bytes, sha256: sha256(once.bytes), inputs: once.inputs });
  const rows = { rows: 1, columns: { x: Float64Array.of(0), ms: Float64Array.of(turns) } };
  let leastMs = Infinity;
  for (let i = 0; i < 8; i++) {
    const from = performance.now();
    await onnx.predict(rows, Float64Array.of(0));
    leastMs = Math.min(leastMs, performance.now() - from);
  }
  await onnx.close();
  return loopOf('ms', turns / leastMs, sines);
}

/** Takes about twice as many megabytes as `mb` says, and touches each, before it answers; 1e6 is more than a machine has. */
export const greedy = (): OddGraph => loopOf('mb', 1, megabytes);

/**
 * The answer is NaN for every row whose x is a multiple of 1 / share.
 *
 * @param also  levers of others, which it takes and lets be: one that is a champion refuses what it does not know
 */
export function sometimesNaN(share: number, also: string[] = []): OddGraph {
  const graph = start(...also);
  const every = graph.tensor('double', [Math.round(1 / share)], [1, 1]);
  const zero = graph.tensor('double', [0], [1, 1]);
  const hit = graph.node('Equal', [graph.node('Mod', ['x', every], { fmod: 1 }), zero]);
  return finish(graph, graph.node('Where', [hit, graph.tensor('double', [NaN], [1, 1]), 'x']), ...also);
}

/** The run throws where `throw` is 1 in any row. @param also  as above */
export function throws(also: string[] = []): OddGraph {
  const graph = start('throw', ...also);
  const lever = orZero(graph, 'throw');
  const index = graph.cast(lever, 'int64');
  const nothing = graph.node('Gather', [graph.tensor('double', [0], [1]), index], { axis: 0 });
  return finish(graph, graph.node('Add', ['x', nothing]), 'throw', ...also);
}

/** A version of such a graph, as the registry would have it. */
export const oddVersion = ({ bytes, inputs, warmUpRows }: OddGraph, model: string, n: number): ModelVersion => ({
  model,
  n,
  task: 'regression',
  run: `odd-${n}`,
  project: { n: 1, hash: HASH },
  rowsHash: HASH,
  asOf: '2017-01-01T00:00:00.000Z',
  labelsSeenUntil: '2017-01-01T00:00:00.000Z',
  onnx: { sha256: sha256(bytes), bytes: bytes.length },
  algorithm: 'linear',
  entity: 'id',
  inputs,
  usesPredictedAt: true,
  strataEdgesDays: [],
  referenceHistograms: {},
  lossSd: 1,
  warmUpRows,
  primaryMetric: 'rmse',
  metrics: [],
  cause: { workflowId: 'test', runId: `odd-${model}-${n}`, step: 'register' },
  createdAt: '2017-01-01T00:00:00.000Z',
});

/** Puts the graph into the bucket and registers it as the model's next version. */
export async function registerOdd(
  stores: Stores,
  model: string,
  odd: OddGraph,
  changes: Partial<ModelVersion> = {},
): Promise<ModelVersion> {
  await stores.objects.put(odd.bytes);
  const { n: _n, ...version } = oddVersion(odd, model, 1);
  const runId = `odd-${model}-${++registered}`;
  return stores.versions.create({ ...version, run: runId, cause: { ...version.cause, runId }, ...changes });
}

let registered = 0;
const HASH = '0'.repeat(64);
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

function start(...levers: string[]): RawGraph {
  const graph = new RawGraph();
  for (const name of ['x', ...levers, 'predicted_at']) graph.input(name, 'double', ['N', 1]);
  return graph;
}

function finish(graph: RawGraph, score: string, ...levers: string[]): OddGraph {
  graph.node('Cast', [score], { to: 1 }, ['scores']);
  graph.output('scores', 'float', ['N', 1]);
  graph.node('Reshape', ['predicted_at', graph.tensor('int64', [-1], [1])], {}, ['matures_at']);
  graph.output('matures_at', 'double', ['N']);
  return {
    bytes: graph.bytes(),
    inputs: InputSchema.parse({
      x: { type: 'number' },
      ...Object.fromEntries(levers.map((lever) => [lever, { type: 'number', optional: true }])),
    }),
    warmUpRows: [{ x: 1 }, { x: 2 }],
  };
}

const orZero = (graph: RawGraph, name: string): string =>
  graph.node('Where', [graph.node('IsNaN', [name]), graph.tensor('double', [0], [1, 1]), name]);

/** x plus what a loop of lever * turnsPerUnit turns leaves, which is 0. */
function loopOf(lever: string, turnsPerUnit: number, loop: (graph: RawGraph, turns: string) => string): OddGraph {
  const graph = start(lever);
  const most = graph.node('ReduceMax', [orZero(graph, lever)], { keepdims: 0 });
  const turns = graph.cast(graph.node('Mul', [most, graph.tensor('double', [turnsPerUnit], [])]), 'int64');
  return finish(graph, graph.node('Add', ['x', loop(graph, turns)]), lever);
}

/** Sines of 0: work that leaves 0. */
function sines(graph: RawGraph, turns: string): string {
  const body = new RawGraph('body.');
  body.input('turn', 'int64', []);
  body.input('go', 'bool', []);
  body.input('before', 'double', [256]);
  body.node('Identity', ['go'], {}, ['goes']);
  body.node('Sin', ['before'], {}, ['after']);
  body.output('goes', 'bool', []);
  body.output('after', 'double', [256]);
  const zeros = graph.tensor(
    'double',
    Array.from({ length: 256 }, () => 0),
    [256],
  );
  graph.node('Loop', [turns, '', zeros], { body: body.body() }, ['sines']);
  return graph.node('ReduceMax', ['sines'], { keepdims: 0 });
}

/** A megabyte a turn, all kept until the last; what leaves is their number times 0. */
function megabytes(graph: RawGraph, turns: string): string {
  const body = new RawGraph('body.');
  body.input('turn', 'int64', []);
  body.input('go', 'bool', []);
  body.node('Identity', ['go'], {}, ['goes']);
  const eighth = 2 ** 20 / 8;
  // Of the turn, so that it cannot be made beforehand.
  body.node('Expand', [body.cast('turn', 'double'), body.tensor('int64', [eighth], [1])], {}, ['kept']);
  body.output('goes', 'bool', []);
  body.output('kept', 'double', [eighth]);
  graph.node('Loop', [turns, ''], { body: body.body() }, ['all']);
  const count = graph.cast(graph.node('Size', ['all']), 'double');
  return graph.node('Mul', [count, graph.tensor('double', [0], [])]);
}
