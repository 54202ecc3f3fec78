// A thread does not inherit a loader that was registered at run time, so it registers its own before the TypeScript.
import { register } from 'tsx/esm/api';

register();
await import('./thread.ts');
