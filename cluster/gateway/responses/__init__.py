"""OpenAI's Responses: a conversation as items, over the same generations as chats.

request, items      a body becomes a chat's, and is read as one
output, answer      what comes back becomes items, and events about them
shelf               answers that later requests go on from
"""
