import { resourceFromAttributes } from '@opentelemetry/resources';
import { NodeTracerProvider, NoopSpanProcessor } from '@opentelemetry/sdk-trace-node';
import { OpenTelemetryPlugin } from '@temporalio/interceptors-opentelemetry-v2';
import { dataConverter } from './converter.ts';

const resource = resourceFromAttributes({ 'service.name': 'gauntlet' });
const spanProcessor = new NoopSpanProcessor();

// NodeTracerProvider, not the basic one: its async context is what keeps client, workflow and activity in one trace.
new NodeTracerProvider({ resource, spanProcessors: [spanProcessor] }).register();

/**
 * What every Temporal client, worker, bundle and replay takes: `new Client({ ...shared })`, `Worker.create({ ...shared })`.
 *
 * The tracing interceptors are in the workflow bundle from the first workflow on, exporting or not, since adding them
 * later could break the replay of open ones. Never give these plugins to a connection as well: clients and workers
 * inherit a connection's plugins, and would trace twice.
 */
export const shared = {
  dataConverter,
  plugins: [new OpenTelemetryPlugin({ resource, spanProcessor })],
};
