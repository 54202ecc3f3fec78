#!/usr/bin/env node
// The command is TypeScript; tsx reads it in this same process, so that signals reach it.
import { register } from 'tsx/esm/api';

register();
await import('../cli/main.ts');
