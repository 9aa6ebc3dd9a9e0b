#!/usr/bin/env node
process.stderr.write('khosim: the command line is not built yet\n');
process.exitCode = 3;
