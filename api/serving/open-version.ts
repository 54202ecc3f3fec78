// Not onnx/index.ts: the challenger process starts half a second sooner without what builds graphs.
import { decodeRows } from '../../onnx/decode-rows.ts';
import { openModel, type OnnxModel } from '../../onnx/open-model.ts';
import { UserError, type ModelVersion, type Output } from '../../schemas/index.ts';

/**
 * Opens a version's graph and runs it over the warm-up rows, whose answers must have the shape that the version
 * promises, and some of them must be finite.
 *
 * @throws whatever is wrong with the version or its bytes; nothing of it stays open then
 */
export async function openVersion(version: ModelVersion, bytes: Uint8Array, nowMs: number): Promise<OnnxModel> {
  const decoded = decodeRows(version.inputs, version.warmUpRows, { extra: [version.entity], personal: 'hashed' });
  if (!decoded.ok)
    throw new UserError(
      'WarmUpFailed',
      `The warm-up rows of ${version.model} version ${version.n} do not fit its own inputs: ${decoded.issues.map(({ at, found, expected }) => `${at} is ${found}, expected ${expected}`).join('; ')}.`,
    );
  const predictedAt = new Float64Array(version.warmUpRows.length).fill(nowMs / 1000);
  const { columns } = decoded;
  const onnx = await openModel({
    bytes,
    sha256: version.onnx.sha256,
    inputs: version.inputs,
    warmUp: { rows: columns, predictedAt },
  });
  try {
    checkOutputs(version, await onnx.predict(columns, predictedAt));
  } catch (error) {
    await onnx.close();
    throw error;
  }
  return onnx;
}

function checkOutputs(version: ModelVersion, outputs: (Output | { failed: string })[]): void {
  const scores = version.task === 'multiclass' ? (version.classes?.length ?? 0) : 1;
  const failed: string[] = [];
  for (const output of outputs) {
    if ('failed' in output) failed.push(output.failed);
    else if (output.scores.length !== scores)
      throw new UserError(
        'WarmUpFailed',
        `${version.model} version ${version.n} gives ${output.scores.length} scores a row; a ${version.task} model of its kind gives ${scores}.`,
      );
  }
  if (failed.length === outputs.length)
    throw new UserError(
      'WarmUpFailed',
      `${version.model} version ${version.n} fails on every one of its ${outputs.length} warm-up rows: ${failed[0]}.`,
    );
}
