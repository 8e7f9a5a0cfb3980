"""The only code that knows FastAPI, starlette and uvicorn."""
