// Builds the page into node_modules/.page: nothing of it is kept.
import { defineConfig } from 'vite';

export default defineConfig({
  root: 'page',
  base: './',
  publicDir: '../../dashboards',
  logLevel: 'error',
  define: { 'process.env.NODE_ENV': '"production"', 'process.env': '{}', global: 'globalThis' },
  build: { outDir: '../node_modules/.page', emptyOutDir: true, chunkSizeWarningLimit: 20000 },
});
