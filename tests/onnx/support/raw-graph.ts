import { create, toBinary } from '@bufbuild/protobuf';
import {
  AttributeProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  TensorProtoSchema,
  ValueInfoProtoSchema,
  type AttributeProto,
  type GraphProto,
} from '../../../onnx/proto/onnx_pb.ts';
import { ElementType } from '../../../onnx/graph-builder.ts';

export type Shape = (string | number)[];

/** A graph written node by node, with bodies of loops: what the builder of ours has no need for. */
export class RawGraph {
  private readonly graph = create(GraphProtoSchema, { name: 'raw' });
  private count = 0;
  private readonly prefix: string;

  /** @param prefix  of the names made here: a body's must not be those of the graph around it */
  constructor(prefix = '') {
    this.prefix = prefix;
  }

  input(name: string, type: ElementType, shape: Shape): string {
    this.graph.input.push(valueInfo(name, type, shape));
    return name;
  }

  output(name: string, type: ElementType, shape: Shape): void {
    this.graph.output.push(valueInfo(name, type, shape));
  }

  tensor(type: 'double' | 'float' | 'int64', values: number[], dims: number[]): string {
    const name = `${this.prefix}t${++this.count}`;
    const data =
      type === 'double' ? { doubleData: values } : type === 'float' ? { floatData: values } : { int64Data: values };
    this.graph.initializer.push(create(TensorProtoSchema, { name, dims, dataType: ElementType[type], ...data }));
    return name;
  }

  /** @returns the names of the outputs: those given, else one of its own */
  node(
    opType: string,
    inputs: string[],
    attributes: Record<string, number | number[] | GraphProto> = {},
    outputs: string[] = [`${this.prefix}n${++this.count}`],
  ): string {
    const attribute = Object.entries(attributes).map(([name, value]) => attributeProto(name, value));
    this.graph.node.push(create(NodeProtoSchema, { opType, input: inputs, output: outputs, attribute }));
    return outputs[0]!;
  }

  cast(tensor: string, to: ElementType): string {
    return this.node('Cast', [tensor], { to: ElementType[to] });
  }

  /** As the body of a loop. */
  body(): GraphProto {
    return this.graph;
  }

  bytes(): Uint8Array {
    return toBinary(
      ModelProtoSchema,
      create(ModelProtoSchema, { irVersion: 10, opsetImport: [{ domain: '', version: 21 }], graph: this.graph }),
    );
  }
}

/** AttributeProto.AttributeType */
const INT = 2;
const GRAPH = 5;
const INTS = 7;

function attributeProto(name: string, value: number | number[] | GraphProto): AttributeProto {
  if (typeof value === 'number') return create(AttributeProtoSchema, { name, type: INT, i: value });
  if (Array.isArray(value)) return create(AttributeProtoSchema, { name, type: INTS, ints: value });
  const attribute = create(AttributeProtoSchema, { name, type: GRAPH });
  // Field `g`, which the part of ONNX that we write does not have.
  const bytes = toBinary(GraphProtoSchema, value);
  attribute.$unknown = [{ no: 6, wireType: 2, data: Uint8Array.from([...varint(bytes.length), ...bytes]) }];
  return attribute;
}

function varint(n: number): number[] {
  return n < 0x80 ? [n] : [(n & 0x7f) | 0x80, ...varint(n >>> 7)];
}

function valueInfo(name: string, type: ElementType, shape: Shape) {
  const dim = shape.map((d) => ({
    value: typeof d === 'string' ? { case: 'dimParam' as const, value: d } : { case: 'dimValue' as const, value: d },
  }));
  return create(ValueInfoProtoSchema, {
    name,
    type: { tensorType: { elemType: ElementType[type], shape: { dim } } },
  });
}
