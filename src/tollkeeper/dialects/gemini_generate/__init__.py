"""Gemini's generateContent, whom Google's own clients speak (https://ai.google.dev/api/generate-content)."""
