"""The Model Context Protocol as a stateless server speaks it over HTTP: pure, for whichever door has tools to offer."""
