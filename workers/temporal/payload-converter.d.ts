import type { PayloadConverter } from '@temporalio/common';

export declare function firstNotJson(value: unknown, path?: string): { at: string; found: string } | undefined;
export declare const payloadConverter: PayloadConverter;
