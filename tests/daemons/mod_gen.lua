-- SPDX-License-Identifier: MIT
module:hook("stream-features", function(event)
	event.features:tag("gen", { name = "GEN @TAG@ prosody" }):up();
end);
