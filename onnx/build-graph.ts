import type { TrainedModel, TreeEnsemble, LinearModel } from '../numerics/trained-model.ts';
import type { FittedFeature, GraphSpec, Preprocessing } from '../schemas/index.ts';
import { Compiler } from './expression/index.ts';
import { featureNames } from './fit-preprocessing.ts';
import { float, floats, GraphBuilder, int, ints, text, texts } from './graph-builder.ts';
import { graphColumns, type GraphColumns } from './graph-columns.ts';

/**
 * The graph that needs no fitting: raw named inputs to the derived columns, each under its name ([N, 1], double, or
 * string where it is a text), and to 'matures_at' (double [N], seconds since 1970).
 */
export function buildDerivations(spec: GraphSpec): Uint8Array {
  const { graph, columns, compiler } = start(spec);
  for (const { name, expression } of columns.derived)
    if (expression.type === 'string') graph.output(name, compiler.string(expression), 'string', ['N', 1]);
    else graph.output(name, compiler.number(expression), 'double', ['N', 1]);
  addMaturesAt(graph, columns, compiler);
  return graph.bytes({ 'gauntlet.graph': 'derivations' });
}

/** Raw named inputs to 'features', float32 [N, F]: what trainers see. Names of the F columns: featureNames. */
export function buildHead(spec: GraphSpec, preprocessing: Preprocessing): Uint8Array {
  const { graph, columns, compiler } = start(spec);
  const features = addFeatures(graph, columns, compiler, preprocessing);
  graph.output('features', features, 'float', ['N', featureNames(preprocessing).length]);
  return graph.bytes(metadata('head', spec, preprocessing));
}

/**
 * The whole model: raw named inputs to 'scores', float32 [N, K], and 'matures_at', double [N], seconds since 1970.
 *
 * Scores are [p of the positive class] (binary), [p of each class] (multiclass) or [value] (regression). Inputs are
 * double [N, 1] (NaN: missing; booleans 0 and 1, dates in days, timestamps in seconds) or string [N, 1] ('': missing).
 * The same arguments give the same bytes.
 *
 * @throws {RangeError} if the model was trained on another number of features than preprocessing gives
 */
export function buildGraph(spec: GraphSpec, preprocessing: Preprocessing, model: TrainedModel): Uint8Array {
  const { graph, columns, compiler } = start(spec);
  const features = addFeatures(graph, columns, compiler, preprocessing);
  const width = featureNames(preprocessing).length;
  const margins =
    model.kind === 'treeEnsemble' ? addTrees(graph, features, model, width) : addLinear(graph, features, model, width);
  graph.output('scores', addLink(graph, margins, model), 'float', ['N', model.outputs]);
  addMaturesAt(graph, columns, compiler);
  return graph.bytes(metadata('model', spec, preprocessing));
}

function start(spec: GraphSpec): { graph: GraphBuilder; columns: GraphColumns; compiler: Compiler } {
  const graph = new GraphBuilder();
  const columns = graphColumns(spec);
  for (const name of columns.inputs) graph.input(name, spec.inputs[name]?.type === 'string' ? 'string' : 'double');
  return { graph, columns, compiler: new Compiler(graph) };
}

function metadata(kind: string, spec: GraphSpec, preprocessing: Preprocessing): Record<string, string> {
  return {
    'gauntlet.graph': kind,
    'gauntlet.task': spec.task,
    'gauntlet.features': JSON.stringify(featureNames(preprocessing)),
  };
}

function addMaturesAt(graph: GraphBuilder, { maturesAt }: GraphColumns, compiler: Compiler): void {
  const value = compiler.number(maturesAt);
  const seconds = maturesAt.type === 'date' ? graph.node('Mul', [value, graph.doubles([86_400], [1, 1])]) : value;
  graph.output('matures_at', graph.node('Reshape', [seconds, graph.ints([-1], [1])]), 'double', ['N']);
}

/** All numbers go through imputation, scaling and the cast to float32 side by side: a node costs more than its arithmetic. */
function addFeatures(
  graph: GraphBuilder,
  columns: GraphColumns,
  compiler: Compiler,
  { features }: Preprocessing,
): string {
  const source = (feature: FittedFeature) => {
    const column = columns.features.find(({ name }) => name === feature.name);
    if (!column) throw new RangeError(`buildGraph: preprocessing has ${feature.name}, the description does not`);
    return column.expression;
  };
  const parts: string[] = [];
  /** For each feature its columns in the concatenation of the parts. */
  const positions = new Map<FittedFeature, number[]>();
  let width = 0;
  const place = (feature: FittedFeature, count: number): void => {
    positions.set(
      feature,
      Array.from({ length: count }, () => width++),
    );
  };

  const numbers = features.filter((feature) => feature.kind === 'number');
  if (numbers.length > 0) {
    parts.push(
      addNumbers(
        graph,
        numbers.map((feature) => compiler.number(source(feature))),
        numbers,
      ),
    );
    for (const feature of numbers) place(feature, 1);
  }
  for (const feature of features) {
    if (feature.kind !== 'category') continue;
    const columnCount = feature.encoding === 'ordinal' ? 1 : feature.vocabulary.length;
    if (columnCount > 0) parts.push(addCategory(graph, compiler.string(source(feature)), feature));
    place(feature, columnCount);
  }
  const joined = concat(graph, parts);
  const order = features.flatMap((feature) => positions.get(feature)!);
  if (order.every((position, i) => position === i)) return joined;
  return graph.node('Gather', [joined, graph.ints(order, [order.length])], { axis: int(1) });
}

function addNumbers(graph: GraphBuilder, sources: string[], features: (FittedFeature & { kind: 'number' })[]): string {
  const row = (values: number[]) => graph.doubles(values, [1, values.length]);
  let numbers = concat(graph, sources);
  if (features.some(({ fill }) => fill !== null)) {
    const fills = row(features.map(({ fill }) => fill ?? NaN));
    numbers = graph.node('Where', [graph.node('IsNaN', [numbers]), fills, numbers]);
  }
  if (features.some(({ sd }) => sd !== undefined)) {
    numbers = graph.node('Sub', [numbers, row(features.map(({ mean }) => mean ?? 0))]);
    numbers = graph.node('Div', [numbers, row(features.map(({ sd }) => sd ?? 1))]);
  }
  return graph.cast(numbers, 'float');
}

function addCategory(graph: GraphBuilder, source: string, feature: FittedFeature & { kind: 'category' }): string {
  const { vocabulary, fill, encoding } = feature;
  const keys = [...vocabulary];
  const codes = vocabulary.map((_, i) => i);
  if (fill !== null && vocabulary.includes(fill)) {
    keys.push('');
    codes.push(vocabulary.indexOf(fill));
  }
  // ONNX Runtime refuses an empty dictionary. -1 is what any text would get anyway.
  if (keys.length === 0) {
    keys.push('');
    codes.push(-1);
  }
  const code = graph.mlNode('LabelEncoder', [source], {
    keys_strings: texts(keys),
    values_floats: floats(codes),
    default_float: float(-1),
  });
  if (encoding === 'ordinal') return code;
  const each = graph.floats(
    vocabulary.map((_, i) => i),
    [1, vocabulary.length],
  );
  return graph.cast(graph.node('Equal', [code, each]), 'float');
}

function concat(graph: GraphBuilder, tensors: string[]): string {
  return tensors.length === 1 ? tensors[0]! : graph.node('Concat', tensors, { axis: int(1) });
}

/**
 * Margins by TreeEnsembleRegressor, for every task: its sum is float32 in tree order, the base last, to the bit what
 * predictMargins gives. TreeEnsembleClassifier is not used: it silently leaves LOGISTIC out where no leaf is negative.
 */
function addTrees(graph: GraphBuilder, features: string, model: TreeEnsemble, width: number): string {
  const nodes = {
    trees: [] as number[],
    ids: [] as number[],
    features: [] as number[],
    modes: [] as string[],
    thresholds: [] as number[],
    lefts: [] as number[],
    rights: [] as number[],
    missingLeft: [] as number[],
  };
  const leaves = { trees: [] as number[], ids: [] as number[], outputs: [] as number[], values: [] as number[] };
  // An ensemble that early stopping left without a tree still has its base, and ONNX Runtime wants at least one tree.
  const stump = { feature: [-1], threshold: [0], left: [-1], right: [-1], missingLeft: [0], value: [0] };
  const trees = model.trees.length > 0 ? model.trees : [stump];
  for (const [t, tree] of trees.entries())
    for (let i = 0; i < tree.feature.length; i++) {
      const feature = tree.feature[i]!;
      const isLeaf = feature < 0;
      if (feature >= width) throw new RangeError(`buildGraph: tree ${t} tests feature ${feature} of ${width}`);
      nodes.trees.push(t);
      nodes.ids.push(i);
      nodes.features.push(isLeaf ? 0 : feature);
      nodes.modes.push(isLeaf ? 'LEAF' : 'BRANCH_LEQ');
      nodes.thresholds.push(tree.threshold[i]!);
      nodes.lefts.push(isLeaf ? 0 : tree.left[i]!);
      nodes.rights.push(isLeaf ? 0 : tree.right[i]!);
      nodes.missingLeft.push(isLeaf ? 0 : tree.missingLeft[i]!);
      if (!isLeaf) continue;
      leaves.trees.push(t);
      leaves.ids.push(i);
      leaves.outputs.push(t % model.outputs);
      leaves.values.push(tree.value[i]!);
    }
  return graph.mlNode('TreeEnsembleRegressor', [features], {
    n_targets: int(model.outputs),
    aggregate_function: text('SUM'),
    post_transform: text('NONE'),
    base_values: floats(model.baseMargins),
    nodes_treeids: ints(nodes.trees),
    nodes_nodeids: ints(nodes.ids),
    nodes_featureids: ints(nodes.features),
    nodes_modes: texts(nodes.modes),
    nodes_values: floats(nodes.thresholds),
    nodes_truenodeids: ints(nodes.lefts),
    nodes_falsenodeids: ints(nodes.rights),
    nodes_missing_value_tracks_true: ints(nodes.missingLeft),
    target_treeids: ints(leaves.trees),
    target_nodeids: ints(leaves.ids),
    target_ids: ints(leaves.outputs),
    target_weights: floats(leaves.values),
  });
}

/**
 * In double, rounded to float32 at the end: a matrix product may add in another order for another batch size, which
 * float32 would show.
 */
function addLinear(graph: GraphBuilder, features: string, model: LinearModel, width: number): string {
  if (model.coefficients.length !== model.outputs * width)
    throw new RangeError(`buildGraph: ${model.coefficients.length} coefficients for ${model.outputs} x ${width}`);
  const weights: number[] = [];
  for (let f = 0; f < width; f++)
    for (let o = 0; o < model.outputs; o++) weights.push(model.coefficients[o * width + f]!);
  const product = graph.node('MatMul', [
    graph.cast(features, 'double'),
    graph.doubles(weights, [width, model.outputs]),
  ]);
  const margins = graph.node('Add', [product, graph.doubles(model.intercepts, [1, model.outputs])]);
  return graph.cast(margins, 'float');
}

/** The logistic function in double: in float32 ONNX Runtime's is off by up to 1.3e-7, and its last bit may vary with the batch. */
function addLink(graph: GraphBuilder, margins: string, { task }: TrainedModel): string {
  if (task === 'binary') return graph.cast(graph.node('Sigmoid', [graph.cast(margins, 'double')]), 'float');
  if (task === 'multiclass') return graph.node('Softmax', [margins], { axis: int(1) });
  return margins;
}
