import type { OnnxModel } from '../../onnx/index.ts';
import type { ModelVersion } from '../../schemas/index.ts';

/** A version in memory. Its session closes when it has been retired and its last request has left. */
export class LoadedModel {
  readonly version: ModelVersion;
  private readonly onnx: OnnxModel;
  private requests = 0;
  private closing: Promise<void> | undefined;
  private left: () => void = () => undefined;

  constructor(version: ModelVersion, onnx: OnnxModel) {
    this.version = version;
    this.onnx = onnx;
  }

  /** Runs `work` with the session, which stays open at least until it has ended. */
  async use<T>(work: (onnx: OnnxModel) => Promise<T>): Promise<T> {
    this.requests++;
    try {
      return await work(this.onnx);
    } finally {
      this.requests--;
      if (this.requests === 0) this.left();
    }
  }

  /** Nobody will ask for it any more. Ends when its last request has left and the session is closed. */
  retire(): Promise<void> {
    this.closing ??= this.close();
    return this.closing;
  }

  private async close(): Promise<void> {
    if (this.requests > 0) await new Promise<void>((resolve) => (this.left = resolve));
    await this.onnx.close();
  }
}
