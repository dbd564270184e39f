# SPDX-License-Identifier: MIT
# What a log daemon starts, and gives its messages to: "PORT NUMBER" is answered to that port.
while read -r port number; do
	echo "GEN @TAG@ $number" >"/dev/udp/127.0.0.1/$port"
done
