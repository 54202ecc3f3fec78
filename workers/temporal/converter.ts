import { fileURLToPath } from 'node:url';
import type { DataConverter } from '@temporalio/common';

/**
 * The converter of every client, worker and replay. Payload encryption will be a codec here: it cannot be added
 * to some of them only.
 */
export const dataConverter: DataConverter = {
  payloadConverterPath: fileURLToPath(new URL('./payload-converter.js', import.meta.url)),
};
