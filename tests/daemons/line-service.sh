# SPDX-License-Identifier: MIT
# A service as super-servers start them: lines from stdin are answered on stdout.
while read -r line; do
	echo "GEN @TAG@ $line"
done
