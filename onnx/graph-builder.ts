import { create, toBinary } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { ModelProtoSchema, type GraphProtoSchema } from './proto/onnx_pb.ts';

/** TensorProto.DataType */
export const ElementType = { float: 1, int64: 7, string: 8, bool: 9, double: 11 } as const;
export type ElementType = keyof typeof ElementType;

/** AttributeProto.AttributeType */
const AttributeType = { float: 1, int: 2, string: 3, floats: 6, ints: 7, strings: 8 } as const;

const IR_VERSION = 10;
const OPSET = 21;
/** The last in which trees are plain attribute lists, which ONNX Runtime loads fastest. */
const ML_OPSET = 3;

/** An attribute of a node without its name. */
export interface Attribute {
  type: number;
  i?: number;
  f?: number;
  s?: string;
  ints?: number[];
  floats?: number[];
  strings?: string[];
}
export const int = (i: number): Attribute => ({ type: AttributeType.int, i });
export const float = (f: number): Attribute => ({ type: AttributeType.float, f });
export const text = (s: string): Attribute => ({ type: AttributeType.string, s });
export const ints = (values: number[]): Attribute => ({ type: AttributeType.ints, ints: values });
export const floats = (values: number[]): Attribute => ({ type: AttributeType.floats, floats: values });
export const texts = (values: string[]): Attribute => ({ type: AttributeType.strings, strings: values });

type Part<K extends 'node' | 'initializer' | 'input' | 'output'> = NonNullable<
  MessageInitShape<typeof GraphProtoSchema>[K]
>[number];

/**
 * Collects the nodes of one graph. A tensor is known by its name; those made here begin with #, which no column can.
 * The same node asked for twice is made once, so that month(d) and dayofyear(d) share their arithmetic.
 */
export class GraphBuilder {
  private readonly nodes: Part<'node'>[] = [];
  private readonly initializers: Part<'initializer'>[] = [];
  private readonly inputs: Part<'input'>[] = [];
  private readonly outputs: Part<'output'>[] = [];
  private readonly made = new Map<string, string>();
  private count = 0;

  /** A graph input of shape [N, 1]. */
  input(name: string, type: ElementType): string {
    this.inputs.push(valueInfo(name, type, ['N', 1]));
    return name;
  }

  node(operator: string, inputs: string[], attributes: Record<string, Attribute> = {}): string {
    const key = JSON.stringify([operator, inputs, attributes]);
    return this.once(key, (name) => this.nodes.push(nodeProto('', operator, inputs, name, attributes)));
  }

  /** A node of ai.onnx.ml; its attributes are large, so it is never looked for among those already there. */
  mlNode(operator: string, inputs: string[], attributes: Record<string, Attribute>): string {
    const name = this.name();
    this.nodes.push(nodeProto('ai.onnx.ml', operator, inputs, name, attributes));
    return name;
  }

  doubles(values: number[], dims: number[]): string {
    const key = `double ${dims.join(' ')} ${values.join(' ')}`;
    return this.once(key, (name) =>
      this.initializers.push({ name, dims, dataType: ElementType.double, doubleData: values }),
    );
  }

  floats(values: number[], dims: number[]): string {
    const key = `float ${dims.join(' ')} ${values.join(' ')}`;
    return this.once(key, (name) =>
      this.initializers.push({ name, dims, dataType: ElementType.float, floatData: values }),
    );
  }

  ints(values: number[], dims: number[]): string {
    const key = `int64 ${dims.join(' ')} ${values.join(' ')}`;
    return this.once(key, (name) =>
      this.initializers.push({ name, dims, dataType: ElementType.int64, int64Data: values }),
    );
  }

  strings(values: string[], dims: number[]): string {
    const key = `string ${dims.join(' ')} ${JSON.stringify(values)}`;
    return this.once(key, (name) =>
      this.initializers.push({ name, dims, dataType: ElementType.string, stringData: values }),
    );
  }

  cast(tensor: string, to: ElementType): string {
    return this.node('Cast', [tensor], { to: int(ElementType[to]) });
  }

  output(name: string, tensor: string, type: ElementType, shape: (string | number)[]): void {
    this.nodes.push(nodeProto('', 'Identity', [tensor], name, {}));
    this.outputs.push(valueInfo(name, type, shape));
  }

  /** The finished graph. The same calls give the same bytes. */
  bytes(metadata: Record<string, string>): Uint8Array {
    const model = create(ModelProtoSchema, {
      irVersion: IR_VERSION,
      producerName: 'gauntlet',
      opsetImport: [
        { domain: '', version: OPSET },
        { domain: 'ai.onnx.ml', version: ML_OPSET },
      ],
      graph: {
        name: 'gauntlet',
        node: this.nodes,
        initializer: this.initializers,
        input: this.inputs,
        output: this.outputs,
      },
      metadataProps: Object.entries(metadata)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([key, value]) => ({ key, value })),
    });
    return toBinary(ModelProtoSchema, model);
  }

  private name(): string {
    return `#${++this.count}`;
  }

  private once(key: string, make: (name: string) => void): string {
    const known = this.made.get(key);
    if (known !== undefined) return known;
    const name = this.name();
    this.made.set(key, name);
    make(name);
    return name;
  }
}

function nodeProto(
  domain: string,
  opType: string,
  input: string[],
  output: string,
  attributes: Record<string, Attribute>,
): Part<'node'> {
  const attribute = Object.entries(attributes).map(([name, value]) => ({ ...value, name }));
  return { domain, opType, input, output: [output], name: output, attribute };
}

function valueInfo(name: string, type: ElementType, shape: (string | number)[]): Part<'input'> {
  const dim = shape.map((d) => ({
    value: typeof d === 'string' ? { case: 'dimParam' as const, value: d } : { case: 'dimValue' as const, value: d },
  }));
  return { name, type: { tensorType: { elemType: ElementType[type], shape: { dim } } } };
}
