"""GLASS on any video: what a video shows, the recipe that follows from it, and a page that shows what is learned."""
