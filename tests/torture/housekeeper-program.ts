/** Compacts every hour of the log, the one that is being written too, as housekeeping does. argv: its bucket and its home. */
import { createCloseHour } from '../../activities/housekeeping/close-hour.ts';
import { openStores } from '../../bucket/index.ts';

const [bucket, home] = process.argv.slice(2) as [string, string];
const stores = await openStores({ bucket, home });
const { closeHour } = createCloseHour({
  stores,
  home,
  build: { commit: 'unknown', dirty: false, node: process.version, packages: {} },
});
process.send!('begins');
for (const { hour } of await stores.logHours.list()) await closeHour(hour, new Date().toISOString());
process.disconnect();
